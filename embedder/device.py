"""Where torch runs, chosen once for a process: device, precision and threads. The only file that names a device."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping
from types import MappingProxyType

import torch

from shared.contracts import Dtype
from shared.errors import BadSetting

_DTYPES: Mapping[Dtype, torch.dtype] = MappingProxyType(
    {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
)


def choose_device(name: str, threads: int) -> torch.device:
    """The device that SAMESKY_DEVICE names, with torch set up for it.

    name: `auto` takes the first of cuda, mps and cpu that is there. threads: of one process on the CPU; 0 takes
    every core this process may use. All arithmetic is full float32: TF32 would make an embedding depend on the
    card. Raises BadSetting.
    """
    torch.set_num_threads(threads or _usable_cores())
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: a torch built without CUDA
        raise BadSetting(
            f"SAMESKY_DEVICE={name!r}: {error}", "auto, cpu, cuda, cuda:1 or mps of this machine"
        ) from error
    if device.type == "cpu":
        _keep_freed_memory()
    return device


def find_dtype(name: Dtype) -> torch.dtype:
    """The torch type of that name."""
    return _DTYPES[name]


def _keep_freed_memory() -> None:
    """Let glibc keep what torch frees, instead of giving it back and asking for it anew at every layer.

    Activations are freed and allocated again all the time; fetched page by page from the kernel each time, they
    made EfficientNet-Lite1 take 2.7 times the CPU time at 32 objects a batch (torch 2.13, glibc 2.36). The price:
    the process keeps its largest size. Other C libraries have no such switch, and are left alone.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD, M_MMAP_MAX of malloc.h
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(mmap_max, 0)


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
