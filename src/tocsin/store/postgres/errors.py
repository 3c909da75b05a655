"""What PostgreSQL's errors, and the driver's, mean here."""

import asyncpg

from tocsin.errors import Invalid, TocsinError, Unavailable

# What the server or the way to it refuses, as opposed to what a row is at fault for. `InterfaceError` is the driver's
# for a connection that has ended; the driver's `DataError` is one too, see `is_resource_error`.
RESOURCE_ERRORS: tuple[type[Exception], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InternalClientError,
    asyncpg.InterfaceError,
    asyncpg.InvalidSQLStatementNameError,
    asyncpg.DuplicatePreparedStatementError,
    OSError,
    TimeoutError,
    MemoryError,
)

# Two transactions stood in each other's way, or the schema was changed and statements must be prepared anew: this one
# was given up, and may be run again.
CONTENTION: tuple[type[Exception], ...] = (asyncpg.TransactionRollbackError, asyncpg.InvalidCachedStatementError)

# The connection has ended, as after a restart of the server: another one may do.
_CUT: tuple[type[Exception], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # how the driver takes a goodbye that comes while it is about to ask
    ConnectionError,
)

# A statement that was prepared is gone, or somebody else's: each transaction has another of the server's processes.
_MIXED_UP: tuple[type[Exception], ...] = (
    asyncpg.InvalidSQLStatementNameError,
    asyncpg.DuplicatePreparedStatementError,
)

# What can come of letting a connection go that has ended.
GONE: tuple[type[Exception], ...] = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)

# What a row is at fault for: out of PostgreSQL's range, or refused by a constraint. `ValueError` takes in the driver's
# complaint of an argument.
ROW_ERRORS: tuple[type[Exception], ...] = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    OverflowError,
    UnicodeError,
    TypeError,
    ValueError,
)


def is_resource_error(error: BaseException) -> bool:
    """Whether it says that the database does not answer, and nothing of what was asked."""
    return isinstance(error, RESOURCE_ERRORS) and not isinstance(error, ROW_ERRORS)


def may_run_again(error: BaseException) -> bool:
    """Whether a transaction that failed so, before its commit, can simply be run again."""
    return isinstance(error, (*CONTENTION, *_CUT)) and not isinstance(error, ROW_ERRORS)


def why(error: Exception) -> str:
    """In one line, for whoever chose the address."""
    if isinstance(error, _MIXED_UP) or "startup parameter" in str(error):  # as pgbouncer refuses a setting
        return "a pooler in transaction mode needs statement_cache_size=0 in the address"
    return str(error) or type(error).__name__


def translate(error: BaseException, *, at_commit: bool = False) -> Exception:
    """What a caller is told of an exception from inside a transaction."""
    if isinstance(error, TocsinError):
        return error
    if isinstance(error, asyncpg.DiskFullError):
        return Unavailable("the database's disk is full; nothing was stored", code="store_unavailable")
    if isinstance(error, _MIXED_UP):
        return Unavailable(f"the database's statements are mixed up: {why(error)}", code="store_unavailable")
    if isinstance(error, CONTENTION):
        return Unavailable("others were writing the same; nothing was stored", code="store_unavailable")
    if is_resource_error(error):
        # A server that was cut off in COMMIT may have committed all the same. One that says why it refused has not.
        unknown = at_commit and not isinstance(error, asyncpg.PostgresError)
        unknown |= at_commit and isinstance(error, (asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError))
        return Unavailable(
            f"the database does not answer: {error or type(error).__name__}",
            code="commit_unknown" if unknown else "store_unavailable",
        )
    if isinstance(error, ROW_ERRORS) and not isinstance(error, asyncpg.IntegrityConstraintViolationError):
        return Invalid(f"a value cannot be stored or looked for: {error}")
    if isinstance(error, Exception):
        return error
    return Unavailable(f"the store stopped: {error!r}", code="store_unavailable")
