"""The Gradio page of the workbench, with a file or folder for each tab."""
