#!/usr/bin/env python3
"""Write the manual page and the bash completion out of the verbs' own parsers; --check compares instead."""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "src"))

from bpfwright.cli import VERBS, module_of, parsing  # noqa: E402

SHARE = TOP / "share"
MANUAL, COMPLETION = SHARE / "bpfwright.1", SHARE / "bpfwright.bash"
EXIT_CODES = ("0 all is well", "1 failure", "2 wrong usage", "3 no privilege", "4 the kernel lacks a feature",
              "5 the verifier rejected a program", "6 a program does not compile")


def parsers() -> dict[str, argparse.ArgumentParser]:
    return {verb: parsing.parser(verb, module_of(verb)) for verb in sorted(VERBS)}


def _troff(text: str) -> str:
    """Backslashes and leading dots mean something there."""
    lines = text.replace("\\", "\\e").replace("-", "\\-").splitlines()
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in lines)


def manual() -> str:
    parts = ['.TH BPFWRIGHT 1 "" "bpfwright" "User Commands"', ".SH NAME", "bpfwright \\- eBPF for Python, whole",
             ".SH SYNOPSIS", ".B bpfwright", ".I VERB ...", ".SH COMMANDS"]
    for verb, parser in parsers().items():
        parts += [f".SS {verb}", _troff(parser.description or ""), ".PP", ".nf"]
        for action in parser._actions:
            if action.help != argparse.SUPPRESS:
                parts.append(_troff(f"  {_words(action):32} {action.help or ''}"))
        parts += ["", _troff(parser.epilog or ""), ".fi"]
    return "\n".join([*parts, ".SH EXIT STATUS", ".nf", *EXIT_CODES, ".fi", ""])


def _words(action: argparse.Action) -> str:
    metavar = action.metavar if isinstance(action.metavar, str) else "|".join(map(str, action.choices or ()))
    if not action.option_strings:
        return metavar or action.dest
    return ", ".join(action.option_strings) + (f" {metavar or action.dest.upper()}" if action.nargs != 0 else "")


def completion() -> str:
    cases, choices = [], []
    for verb, parser in parsers().items():
        options = sorted(word for action in parser._actions for word in action.option_strings)
        cases.append(f"        {verb}) words='{' '.join(options)}' ;;")
        for action in parser._actions:
            if action.choices and action.option_strings:
                pattern = "|".join(f"{verb}:{word}" for word in action.option_strings)
                choices.append(f"        {pattern}) words='{' '.join(map(str, action.choices))}' ;;")
    return f"""# bash completion for bpfwright
_bpfwright() {{
    local words='' now=${{COMP_WORDS[COMP_CWORD]}} verb=${{COMP_WORDS[1]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
    if [ "$COMP_CWORD" = 1 ]; then
        COMPREPLY=($(compgen -W '{' '.join(sorted(VERBS))} --help --version' -- "$now"))
        return
    fi
    case "$verb:$before" in
{chr(10).join(choices)}
    esac
    [ -n "$words" ] || [ "${{now#-}}" = "$now" ] || case "$verb" in
{chr(10).join(cases)}
    esac
    if [ -n "$words" ]; then
        COMPREPLY=($(compgen -W "$words" -- "$now"))
    else
        COMPREPLY=($(compgen -f -- "$now"))
    fi
}}
complete -o filenames -F _bpfwright bpfwright
"""


def main() -> int:
    stale = []
    for path, text in ((MANUAL, manual()), (COMPLETION, completion())):
        if "--check" in sys.argv[1:]:
            if not path.exists() or path.read_text() != text:
                stale.append(path.name)
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    if stale:
        print(f"share/{', share/'.join(stale)}: not what the verbs say: run scripts/generate_shell_help.py",
              file=sys.stderr)
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main())
