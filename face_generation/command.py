"""Turns a function of a configuration into a command: `python -m face_generation.train trainer.max_epochs=3`."""

import os
import re
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from textwrap import indent
from typing import TypeVar

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException, InstantiationException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from face_generation.errors import UserError, exit_on_user_error
from face_generation.files import FULL

T = TypeVar("T")
FULL_ERROR = "HYDRA_FULL_ERROR"  # Hydra's own switch for tracebacks
PLAIN = os.environ.get(FULL_ERROR) != "1"
# Hydra and OmegaConf add these lines below a message. They do not help a user.
DETAILS = re.compile(r"\n\s*(To append .*\+\w+=|Config search path|See https|full_key|object_type)")
FULL_KEY = re.compile(r"^full_key: (.+)$", re.MULTILINE)
# Values of text options that Hydra must still read: nothing, quoted texts, lists and interpolations.
HYDRA_SYNTAX = re.compile(r"(null|)|'.*'|\".*\"|\[.*\]|.*\$\{.*", re.DOTALL)
# Values that Hydra reads as they are: names and paths without other characters.
NEEDS_NO_QUOTES = re.compile(r"(?!(?:true|false|nan|inf)$)[A-Za-z_./][\w./-]*", re.IGNORECASE | re.ASCII)
SWEEP = re.compile(r".*,|(choice|glob)\(", re.DOTALL)
# Blocks of a config file that are for Hydra and are no options of ours.
HYDRA_BLOCKS = re.compile(r"^(defaults|hydra):\n(?:[ \t-].*\n|\n)*", re.MULTILINE)


def command(config_name: str, texts: Collection[str] = ()) -> Callable[[Callable[[DictConfig], T]], Callable[[], None]]:
    """Turns a function into a command whose options are those of `configs/<config_name>.yaml`.

    The values of the options `texts`, most of which are paths, are taken literally, whatever characters they have. A
    `~` at the beginning is the home folder. Hydra's grammar reads all other values. The folder that Hydra makes for the
    run is removed at the end if it is empty.

    A mistake in the options, a full disk and any `UserError` become one line and exit status 2. With HYDRA_FULL_ERROR=1
    a mistake in the options shows its traceback. `${options:}` in the config's `hydra.help.template` stands for the
    text of the config file, so that its comments are written only once.

    Example:
        >>> @command("inference", texts=["bundle", "input", "output"])
        ... def main(config: DictConfig) -> None: ...
    """

    def decorate(function: Callable[[DictConfig], T]) -> Callable[[], None]:
        def main() -> None:
            folder = configs_folder()
            OmegaConf.register_new_resolver("options", lambda: options(folder / f"{config_name}.yaml"), replace=True)

            begun = False

            @wraps(function)
            def job(config: DictConfig) -> T:
                nonlocal begun
                begun = True
                try:
                    # Inside Hydra, because it prints a line of its own about errors that it sees.
                    with plain_errors(config_name):
                        return function(config)
                finally:
                    remove_empty(Path(HydraConfig.get().runtime.output_dir))

            sys.argv[1:] = quote_texts(sys.argv[1:], texts)
            with plain_errors(config_name), hydra_raises():
                try:
                    hydra.main(version_base="1.3", config_path=str(folder), config_name=config_name)(job)()
                except OSError as error:
                    if begun or isinstance(error, HydraException):  # some of those are OSErrors, too
                        raise
                    what = f"{error.filename} cannot be made or read ({error.strerror})"
                    raise UserError(f"{what}; choose another place") from error

        return main

    return decorate


@contextmanager
def hydra_raises() -> Iterator[None]:
    """Makes Hydra raise errors that it would otherwise print before it exits."""
    before = os.environ.get(FULL_ERROR)
    os.environ[FULL_ERROR] = "1"
    try:
        yield
    finally:
        os.environ.pop(FULL_ERROR)
        if before is not None:
            os.environ[FULL_ERROR] = before


@contextmanager
def plain_errors(name: str) -> Iterator[None]:
    """Exits with one line and status 2 on a `UserError`, a full disk, or an error in the options of the command
    `name`."""
    with exit_on_user_error():
        try:
            yield
        except (HydraException, OmegaConfBaseException) as error:
            if not PLAIN:
                raise
            raise user_error(error, name) from error
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise UserError(f"no space left ({error}); free some") from error


def user_error(error: HydraException | OmegaConfBaseException, name: str) -> UserError:
    """Finds the `UserError` that `error` was raised from, or makes one from the first lines of its message."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UserError):
            return cause
        cause = cause.__cause__
    message = str(error)
    if isinstance(error, InstantiationException) and error.__cause__ and (key := FULL_KEY.search(message)):
        message = f"{key[1]}: {error.__cause__}"  # without the path to it
    gist = " ".join(DETAILS.split(message)[0].split()).rstrip(".")
    return UserError(f"{gist}; --help shows the options of {name}")


def quote_texts(arguments: list[str], texts: Collection[str]) -> list[str]:
    """Quotes the values of the options `texts` for Hydra, and expands `~` in them."""
    sweeps = {"-m", "--multirun"} & set(arguments)

    def quoted(argument: str) -> str:
        name, equals, value = argument.partition("=")
        if (
            not equals
            or name.lstrip("+") not in texts
            or HYDRA_SYNTAX.fullmatch(value)
            or NEEDS_NO_QUOTES.fullmatch(value)
            or (sweeps and SWEEP.match(value))
        ):
            return argument
        return f"{name}={QuotedString(os.path.expanduser(value), Quote.single).with_quotes()}"

    return [quoted(argument) for argument in arguments]


def remove_empty(folder: Path) -> None:
    """Removes a folder if it is empty and not the working directory or above it, and then empty folders above it that
    are within the working directory."""
    here = Path.cwd()
    with suppress(OSError):
        if folder not in (here, *here.parents):
            folder.rmdir()
        while here in folder.parent.parents:
            folder = folder.parent
            folder.rmdir()


def configs_folder() -> Path:
    """The folder of config files: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def options(config: Path) -> str:
    """The text of a config file without the blocks for Hydra, to show in the help."""
    text = HYDRA_BLOCKS.sub("", config.read_text(encoding="utf-8"))
    return indent(text.strip(), "  ").replace("$", "$$")  # Hydra takes the help for a string.Template
