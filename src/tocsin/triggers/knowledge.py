"""What is known of addresses and user agents."""

from tocsin.triggers.activity import AddressFacts, AgentFacts

_NO_ADDRESS = AddressFacts()
_NO_AGENT = AgentFacts()


class Knowledge:
    """Knows nothing of anybody."""

    def address(self, _ip: str) -> AddressFacts:
        return _NO_ADDRESS

    def agent(self, _user_agent: str) -> AgentFacts:
        return _NO_AGENT
