"""`devlore completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from devlore_cli.failures import Failure


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    bash:  eval "$(devlore completion bash)"      in ~/.bashrc
    zsh:   eval "$(devlore completion zsh)"       in ~/.zshrc
    fish:  devlore completion fish > ~/.config/fish/completions/devlore.fish
    """
    found = get_completion_class(shell)
    if found is None:
        raise Failure(f"There is no completion for {shell}.")
    click.echo(found(context.find_root().command, {}, "devlore", "_DEVLORE_COMPLETE").source())
