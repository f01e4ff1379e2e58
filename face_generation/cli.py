"""The program `face-generation`: runs the package's commands by short names, and completes them in a shell."""

import runpy
import sys
from importlib.util import find_spec

from face_generation import __version__

# The modules that `python -m` would run, by short name.
COMMANDS = {
    "train": ("face_generation.train", "train a model, and export it as a bundle"),
    "draw": ("face_generation.inference", "draw faces, edit them, go from one to another"),
    "evaluate": ("face_generation.evaluate", "measure how good the faces of models are"),
    "export": ("face_generation.export", "write a checkpoint as a bundle"),
    "push": ("face_generation.push", "publish a bundle on the Hugging Face Hub"),
    "serve": ("face_generation.serve", "serve faces over HTTP, with a page"),
    "site": ("face_generation.site", "write the page as files that draw without a server"),
}
HELP = """usage: face-generation COMMAND [--help] [OPTION=VALUE …]

Commands:
{commands}

To complete commands, options and choices with the Tab key, run one of these lines, or add it to ~/.bashrc or ~/.zshrc:
  eval "$(face-generation completion bash)"
  eval "$(face-generation completion zsh)"
"""
# Hydra completes a line that begins with the name of a command.
COMPLETION = """_face_generation() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" choices="{commands}"
    if [ "$COMP_CWORD" -gt 1 ]; then
        choices=$(COMP_LINE="${{COMP_LINE#* }}" face-generation "${{COMP_WORDS[1]}}" -sc query=bash 2>/dev/null)
    fi
    COMPREPLY=($(compgen -W "$choices" -- "$word"))
}}
COMP_WORDBREAKS=${{COMP_WORDBREAKS//=}}
complete -o nospace -o default -F _face_generation face-generation"""
ZSH = "autoload -U +X compinit bashcompinit && compinit && bashcompinit\n"


def main() -> None:
    """Runs the command that the first argument names, like `python -m`."""
    arguments = sys.argv[1:]
    here = {name: what for name, (module, what) in COMMANDS.items() if find_spec(module)}
    names = " ".join(here)
    match arguments:
        case [name, *_] if name in here:
            del sys.argv[1]
            runpy.run_module(COMMANDS[name][0], run_name="__main__", alter_sys=True)
        case ["completion", "bash" | "zsh" as shell]:
            print((ZSH if shell == "zsh" else "") + COMPLETION.format(commands=names))
        case ["--version"]:
            print(__version__)
        case [] | ["-h" | "--help" | "help"]:
            print(HELP.format(commands="\n".join(f"  {name:10}{what}" for name, what in here.items())), end="")
        case [name, *_] if name in COMMANDS:
            print(f"error: face-generation-serve has no {name}; install face-generation in its place", file=sys.stderr)
            sys.exit(2)
        case _:
            print(f"error: no command {arguments[0]!r}; use one of {names.replace(' ', ', ')}", file=sys.stderr)
            sys.exit(2)


if __name__ == "__main__":
    main()
