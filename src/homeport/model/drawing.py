"""The graph as text: a mermaid flowchart for documents, an indented tree for terminals."""

from __future__ import annotations

from collections.abc import Mapping

from homeport.model.graph import Graph
from homeport.model.service import Job


def mermaid(graph: Graph) -> str:
    """A mermaid flowchart: services are boxes, jobs rounded, edges named by the condition."""
    lines = ["flowchart LR"]
    for node in graph:
        left, right = ("([", "])") if isinstance(node, Job) else ("[", "]")
        lines.append(f'    {node.name}{left}"{node.name}<br/>{node.title}"{right}')
    for node in graph:
        lines.extend(f"    {name} -->|{condition}| {node.name}" for name, condition in node.needs.items())
    return "\n".join(lines)


def text(graph: Graph, notes: Mapping[str, str] | None = None) -> str:
    """One line a service in start order: what it is, what it waits for, and a note where one is given."""
    notes = notes or {}
    width = max((len(node.name) for node in graph), default=0)
    titles = max((len(node.title) for node in graph), default=0)
    lines = []
    for name in graph.start_order:
        node = graph[name]
        needs = ", ".join(f"{other} {condition}" for other, condition in node.needs.items())
        after = f"after {needs}" if needs else "at once"
        kind = "job" if isinstance(node, Job) else "service"
        line = f"{name:<{width}}  {kind:<7}  {node.title:<{titles}}  {after}"
        lines.append(f"{line}  {notes[name]}" if name in notes else line)
    return "\n".join(lines)
