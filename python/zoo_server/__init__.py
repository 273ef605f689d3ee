"""ZooKeeper servers of one's own.

    from zoo_server import ZooServer

    class MyServer(ZooServer):
        def get_data(self, path):
            if path == "/time":
                return time.ctime().encode()

    MyServer().start()

See :class:`ZooServer`.
"""

from ._native import Request
from .exceptions import (
    APIError,
    AuthFailedError,
    BadArgumentsError,
    BadVersionError,
    ConnectionLoss,
    DataInconsistency,
    InvalidACLError,
    InvalidCallbackError,
    MarshallingError,
    NoAuthError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    NotReadOnlyCallError,
    OperationTimeoutError,
    QuotaExceededError,
    RuntimeInconsistency,
    SessionExpiredError,
    SessionMovedError,
    SystemZookeeperError,
    ThrottledOpError,
    UnimplementedError,
    ZookeeperError,
)
from .server import ZooServer
from .values import ACL, DONE, Children, Data, Done, Id, Path, Stat

__all__ = [
    "ACL",
    "APIError",
    "AuthFailedError",
    "BadArgumentsError",
    "BadVersionError",
    "Children",
    "ConnectionLoss",
    "DONE",
    "Data",
    "DataInconsistency",
    "Done",
    "Id",
    "InvalidACLError",
    "InvalidCallbackError",
    "MarshallingError",
    "NoAuthError",
    "NoChildrenForEphemeralsError",
    "NoNodeError",
    "NodeExistsError",
    "NotEmptyError",
    "NotReadOnlyCallError",
    "OperationTimeoutError",
    "Path",
    "QuotaExceededError",
    "Request",
    "RuntimeInconsistency",
    "SessionExpiredError",
    "SessionMovedError",
    "Stat",
    "SystemZookeeperError",
    "ThrottledOpError",
    "UnimplementedError",
    "ZooServer",
    "ZookeeperError",
]
