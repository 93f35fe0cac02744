"""Templates that must be refused, whoever wrote them."""

from __future__ import annotations

REFUSED = [
    "{{ ''.__class__.__mro__ }}",
    "{{ ''|attr('__class__') }}",
    "{{ ('{0.__class__}'|attr('format'))(1) }}",
    "{{ '{0.__class__}'.format(ex) }}",
    "{{ '{a.__class__}'.format_map({'a':ex}) }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ lipsum.__globals__['os'] }}",
    "{{ self.__init__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ namespace.__init__ }}",
    "{{ fn.__code__ }}",
    "{{ gen.gi_frame }}",
    "{{ ''['\\x5f\\x5fclass\\x5f\\x5f'] }}",
    "{{ rows.append(1) }}",
    "{{ rows.pop() }}",
    "{{ ex.update({}) }}",
    "{% include '/etc/passwd' %}",
    "{% for i in range(10**9) %}{% endfor %}",
    "{{ {'a b': 1}|xmlattr }}",
]
