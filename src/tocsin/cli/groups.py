"""How a group of commands is made, the same for each."""

from cyclopts import App, Group

_COMMANDS = Group("Commands", sort_key=1)


def command_group(name: str, text: str) -> App:
    return App(name=name, help=text, help_format="plaintext", group_commands=_COMMANDS, result_action="return_value")
