"""Keeps floods from people: what is claimed for chats and mail is sent on its own, or counted in a digest.

Every delivery ends in exactly one of the two, over restarts too, and no window brings more messages than its owner
wants.
How a digest reads is `channels.digest`; when anything may be sent at all, the lanes say.
"""
