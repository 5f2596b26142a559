"""What type checkers know of a step: its arguments are those of its function.

A ParamSpec leaves no room for names of our own, so a call with an option is told apart from one without: there is a form for
each option, and there the arguments of the function go unchecked.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from django_tasks_durable.authoring.options import BackoffLike

P = ParamSpec("P")
R = TypeVar("R")
Pause = BackoffLike | None
Length = float | timedelta | None
Undo = Callable[..., Any] | None


class StepWord(Protocol):
    """``context.step``: a key and a function, or the function alone, with its arguments and the options of a step."""

    @overload
    def __call__(
        self, key: str, function: Callable[..., R], /, *args: Any,
        atomic: bool, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length = None, cache: bool = True, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> R: ...  # fmt: skip
    @overload
    def __call__(
        self, function: Callable[..., R], /, *args: Any,
        atomic: bool, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length = None, cache: bool = True, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> R: ...  # fmt: skip
    @overload
    def __call__(
        self, key: str, function: Callable[..., R], /, *args: Any,
        atomic: bool = False, max_attempts: int, backoff: Pause = None,
        timeout: Length = None, cache: bool = True, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> R: ...  # fmt: skip
    @overload
    def __call__(
        self, function: Callable[..., R], /, *args: Any,
        atomic: bool = False, max_attempts: int, backoff: Pause = None,
        timeout: Length = None, cache: bool = True, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> R: ...  # fmt: skip
    @overload
    def __call__(
        self, key: str, function: Callable[..., R], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause,
        timeout: Length = None, cache: bool = True, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> R: ...  # fmt: skip
    @overload
    def __call__(
        self, function: Callable[..., R], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause,
        timeout: Length = None, cache: bool = True, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> R: ...  # fmt: skip
    @overload
    def __call__(
        self, key: str, function: Callable[..., R], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length, cache: bool = True, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> R: ...  # fmt: skip
    @overload
    def __call__(
        self, function: Callable[..., R], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length, cache: bool = True, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> R: ...  # fmt: skip
    @overload
    def __call__(
        self, key: str, function: Callable[..., R], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length = None, cache: bool, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> R: ...  # fmt: skip
    @overload
    def __call__(
        self, function: Callable[..., R], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length = None, cache: bool, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> R: ...  # fmt: skip
    @overload
    def __call__(
        self, key: str, function: Callable[..., R], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length = None, cache: bool = True, compensate: Undo, pure: bool = False, **kwargs: Any,
    ) -> R: ...  # fmt: skip
    @overload
    def __call__(
        self, key: str, function: Callable[..., R], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length = None, cache: bool = True, compensate: Undo = None, pure: bool, **kwargs: Any,
    ) -> R: ...  # fmt: skip
    @overload
    def __call__(
        self, function: Callable[..., R], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length = None, cache: bool = True, compensate: Undo, pure: bool = False, **kwargs: Any,
    ) -> R: ...  # fmt: skip
    @overload
    def __call__(
        self, function: Callable[..., R], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length = None, cache: bool = True, compensate: Undo = None, pure: bool, **kwargs: Any,
    ) -> R: ...  # fmt: skip
    @overload
    def __call__(self, key: str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...


class AsyncStepWord(Protocol):
    """``context.astep``: see StepWord. The function may be a coroutine function."""

    @overload
    def __call__(
        self, key: str, function: Callable[..., Coroutine[Any, Any, R]], /, *args: Any,
        atomic: bool, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length = None, cache: bool = True, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...  # fmt: skip
    @overload
    def __call__(
        self, function: Callable[..., Coroutine[Any, Any, R]], /, *args: Any,
        atomic: bool, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length = None, cache: bool = True, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...  # fmt: skip
    @overload
    def __call__(
        self, key: str, function: Callable[..., Coroutine[Any, Any, R]], /, *args: Any,
        atomic: bool = False, max_attempts: int, backoff: Pause = None,
        timeout: Length = None, cache: bool = True, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...  # fmt: skip
    @overload
    def __call__(
        self, function: Callable[..., Coroutine[Any, Any, R]], /, *args: Any,
        atomic: bool = False, max_attempts: int, backoff: Pause = None,
        timeout: Length = None, cache: bool = True, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...  # fmt: skip
    @overload
    def __call__(
        self, key: str, function: Callable[..., Coroutine[Any, Any, R]], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause,
        timeout: Length = None, cache: bool = True, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...  # fmt: skip
    @overload
    def __call__(
        self, function: Callable[..., Coroutine[Any, Any, R]], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause,
        timeout: Length = None, cache: bool = True, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...  # fmt: skip
    @overload
    def __call__(
        self, key: str, function: Callable[..., Coroutine[Any, Any, R]], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length, cache: bool = True, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...  # fmt: skip
    @overload
    def __call__(
        self, function: Callable[..., Coroutine[Any, Any, R]], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length, cache: bool = True, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...  # fmt: skip
    @overload
    def __call__(
        self, key: str, function: Callable[..., Coroutine[Any, Any, R]], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length = None, cache: bool, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...  # fmt: skip
    @overload
    def __call__(
        self, function: Callable[..., Coroutine[Any, Any, R]], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length = None, cache: bool, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...  # fmt: skip
    @overload
    def __call__(
        self, key: str, function: Callable[..., Coroutine[Any, Any, R]], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length = None, cache: bool = True, compensate: Undo, pure: bool = False, **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...  # fmt: skip
    @overload
    def __call__(
        self, key: str, function: Callable[..., Coroutine[Any, Any, R]], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length = None, cache: bool = True, compensate: Undo = None, pure: bool, **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...  # fmt: skip
    @overload
    def __call__(
        self, function: Callable[..., Coroutine[Any, Any, R]], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length = None, cache: bool = True, compensate: Undo, pure: bool = False, **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...  # fmt: skip
    @overload
    def __call__(
        self, function: Callable[..., Coroutine[Any, Any, R]], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length = None, cache: bool = True, compensate: Undo = None, pure: bool, **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...  # fmt: skip
    @overload
    def __call__(
        self, key: str, function: Callable[..., R], /, *args: Any,
        atomic: bool, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length = None, cache: bool = True, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...  # fmt: skip
    @overload
    def __call__(
        self, function: Callable[..., R], /, *args: Any,
        atomic: bool, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length = None, cache: bool = True, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...  # fmt: skip
    @overload
    def __call__(
        self, key: str, function: Callable[..., R], /, *args: Any,
        atomic: bool = False, max_attempts: int, backoff: Pause = None,
        timeout: Length = None, cache: bool = True, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...  # fmt: skip
    @overload
    def __call__(
        self, function: Callable[..., R], /, *args: Any,
        atomic: bool = False, max_attempts: int, backoff: Pause = None,
        timeout: Length = None, cache: bool = True, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...  # fmt: skip
    @overload
    def __call__(
        self, key: str, function: Callable[..., R], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause,
        timeout: Length = None, cache: bool = True, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...  # fmt: skip
    @overload
    def __call__(
        self, function: Callable[..., R], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause,
        timeout: Length = None, cache: bool = True, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...  # fmt: skip
    @overload
    def __call__(
        self, key: str, function: Callable[..., R], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length, cache: bool = True, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...  # fmt: skip
    @overload
    def __call__(
        self, function: Callable[..., R], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length, cache: bool = True, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...  # fmt: skip
    @overload
    def __call__(
        self, key: str, function: Callable[..., R], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length = None, cache: bool, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...  # fmt: skip
    @overload
    def __call__(
        self, function: Callable[..., R], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length = None, cache: bool, compensate: Undo = None, pure: bool = False, **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...  # fmt: skip
    @overload
    def __call__(
        self, key: str, function: Callable[..., R], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length = None, cache: bool = True, compensate: Undo, pure: bool = False, **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...  # fmt: skip
    @overload
    def __call__(
        self, key: str, function: Callable[..., R], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length = None, cache: bool = True, compensate: Undo = None, pure: bool, **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...  # fmt: skip
    @overload
    def __call__(
        self, function: Callable[..., R], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length = None, cache: bool = True, compensate: Undo, pure: bool = False, **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...  # fmt: skip
    @overload
    def __call__(
        self, function: Callable[..., R], /, *args: Any,
        atomic: bool = False, max_attempts: int = 1, backoff: Pause = None,
        timeout: Length = None, cache: bool = True, compensate: Undo = None, pure: bool, **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...  # fmt: skip
    @overload
    def __call__(
        self, key: str, function: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, R]: ...
    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, R]: ...
    @overload
    def __call__(
        self, key: str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...
