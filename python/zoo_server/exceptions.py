"""The errors of ZooKeeper, by the names that kazoo gives them.

A method raises one of them, and the client gets its code.
"""

from __future__ import annotations


class ZookeeperError(Exception):
    """An error that a client gets."""

    code: int = -1


class SystemZookeeperError(ZookeeperError):
    """The server failed: what a client gets for any other exception of a method."""

    code = -1


class RuntimeInconsistency(ZookeeperError):
    """Another part of the same multi was refused."""

    code = -2


class DataInconsistency(ZookeeperError):
    """The data contradict each other."""

    code = -3


class ConnectionLoss(ZookeeperError):
    """The client has gone, or its deadline has passed: a write may have been done or not."""

    code = -4


class MarshallingError(ZookeeperError):
    """A request or a reply cannot be encoded or decoded."""

    code = -5


class UnimplementedError(ZookeeperError):
    """The server does not have the operation, or not here."""

    code = -6


class OperationTimeoutError(ZookeeperError):
    """The operation took too long."""

    code = -7


class BadArgumentsError(ZookeeperError):
    """The request makes no sense."""

    code = -8


class APIError(ZookeeperError):
    """An error of ZooKeeper's interface."""

    code = -100


class NoNodeError(ZookeeperError):
    """There is no such znode."""

    code = -101


class NoAuthError(ZookeeperError):
    """The client may not do this."""

    code = -102


class BadVersionError(ZookeeperError):
    """The znode does not have the version that the client expects."""

    code = -103


class NoChildrenForEphemeralsError(ZookeeperError):
    """An ephemeral znode has no children."""

    code = -108


class NodeExistsError(ZookeeperError):
    """The znode exists already."""

    code = -110


class NotEmptyError(ZookeeperError):
    """The znode has children."""

    code = -111


class SessionExpiredError(ZookeeperError):
    """The session has expired."""

    code = -112


class InvalidCallbackError(ZookeeperError):
    """A callback cannot be called."""

    code = -113


class InvalidACLError(ZookeeperError):
    """The ACL names what the server does not know, or nobody."""

    code = -114


class AuthFailedError(ZookeeperError):
    """The credentials prove nothing."""

    code = -115


class SessionMovedError(ZookeeperError):
    """The session is at another server."""

    code = -118


class NotReadOnlyCallError(ZookeeperError):
    """The server only answers reads now."""

    code = -119


class QuotaExceededError(ZookeeperError):
    """The quota of a znode is exhausted."""

    code = -125


class ThrottledOpError(ZookeeperError):
    """The server has too much to do: try again later."""

    code = -127


_BY_CODE = {error.code: error for error in ZookeeperError.__subclasses__()}


def by_code(code: int) -> ZookeeperError:
    """The exception for a code."""
    error = _BY_CODE.get(code, ZookeeperError)()
    error.code = code
    return error
