"""``kubectl kai``: the commands that ask a cluster, as a plugin of kubectl, and what kubectl completes.

kubectl runs ``kubectl-kai`` for ``kubectl kai``, and ``kubectl_complete-kai`` when a shell asks it to complete one
(https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/, "Shell completion").
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import typer
from typer.main import get_command

from kai_py.cli import completing
from kai_py.cli.app import COMMANDS, run_program
from kai_py.cli.lazy import LazyGroup

PROGRAM: Final = "kubectl kai"
VERBS: Final = ("queues", "why", "top", "plan", "preview", "devices", "snapshot", "log", "version")

#: What cobra's completion calls ShellCompDirectiveNoFileComp and ShellCompDirectiveDefault: file names follow, or not.
_NO_FILES: Final = ":4"
_FILES: Final = ":0"
_TAKE_FILES: Final = frozenset({"-f", "--filename", "--from-snapshot", "--kubeconfig", "--settings", "--token-file"})

#: Flags of kubectl that have a value and often stand before the verb.
_ANYWHERE: Final = frozenset({"-n", "--namespace", "--kubeconfig", "--context"})
_NAMESPACE: Final = frozenset({"-n", "--namespace"})
#: Verbs about things in namespaces; for others the flag means nothing, as in ``kubectl get nodes -n team-a``.
_NAMESPACED: Final = frozenset({"why", "top"})


class Verbs(LazyGroup):
    """The commands of the plugin."""

    table = {verb: COMMANDS[verb] for verb in VERBS}  # noqa: RUF012  # as its base declares it


app = typer.Typer(
    name=PROGRAM,
    cls=Verbs,
    help="Ask a cluster that kai-py schedules: who waits and why, who has what, what would happen.",
    epilog="Exit status: 0 = done, 1 = it could not be done or found, 2 = the command or its input is wrong.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options() -> None:
    """The plugin has no options of its own."""


def main() -> None:
    """Entry point of ``kubectl-kai``."""
    sys.argv[1:] = verb_first(sys.argv[1:])
    run_program(app, PROGRAM)


def verb_first(words: Sequence[str]) -> list[str]:
    """Move kubectl's own flags behind the verb: kubectl takes them in either place, a command takes them last."""
    flags, words = _flags_before(words)
    if words[:1] and words[0] not in _NAMESPACED:
        flags = [word for flag in _pairs(flags) if flag[0].partition("=")[0] not in _NAMESPACE for word in flag]
    return [*words[:1], *flags, *words[1:]]


def _pairs(flags: Sequence[str]) -> list[list[str]]:
    """Each flag with its value."""
    pairs: list[list[str]] = []
    for word in flags:
        if word.partition("=")[0] in _ANYWHERE and (not pairs or "=" in pairs[-1][0] or len(pairs[-1]) > 1):
            pairs.append([word])
        else:
            pairs[-1].append(word)
    return pairs


def _flags_before(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The flags with which a command line begins, and the rest."""
    flags, rest = list[str](), list(words)
    while rest and rest[0].partition("=")[0] in _ANYWHERE:
        taken = 1 if "=" in rest[0] else 2
        flags, rest = flags + rest[:taken], rest[taken:]
    return flags, rest


def complete() -> None:
    """Entry point of ``kubectl_complete-kai``."""
    for line in completions(sys.argv[1:]):
        print(line)


def completions(words: Sequence[str]) -> list[str]:
    """What may follow, a line each, and last what the shell should do beside.

    Args:
        words: after ``kubectl kai``; the last one is being typed, and may be empty.
    """
    *before, typed = words or [""]
    if before and before[-1] in _TAKE_FILES:
        return [_FILES]
    verb = next((word for word in _flags_before(before)[1] if not word.startswith("-")), "")
    if not verb:
        return [*(f"{name}\t{VERB_TEXTS[name]}" for name in VERBS if name.startswith(typed)), _NO_FILES]
    if verb not in VERBS:
        return [_NO_FILES]
    if (names := _names(verb, before, typed)) is not None:
        return [*(name for name in sorted(names) if name.startswith(typed)), _NO_FILES]
    if not typed.startswith("-"):
        return [_NO_FILES]
    group = get_command(app)
    _, command, _ = group.resolve_command(typer.Context(group), [verb])  # type: ignore[attr-defined]  # it is a group
    found = [
        (name, (getattr(one, "help", None) or "").split(". ")[0].rstrip("."))
        for one in command.params
        for name in (*one.opts, *one.secondary_opts)
        if name.startswith(typed)
    ]
    return [*(f"{name}\t{text}" for name, text in sorted(found)), _NO_FILES]


def _names(verb: str, before: Sequence[str], typed: str) -> list[str] | None:
    """Names that may follow; None where none is wanted."""
    if before[-1] == "--context":
        return completing.contexts(before)
    if before[-1] in ("-n", "--namespace"):
        return completing.namespaces(before)
    if verb == "why" and not typed.startswith("-"):
        return completing.subjects(before, typed)
    return None


VERB_TEXTS: Final = {verb: COMMANDS[verb][1].rstrip(".") for verb in VERBS}
