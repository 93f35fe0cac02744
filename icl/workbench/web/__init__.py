"""The Gradio page of the workbench, one file or folder a tab."""
