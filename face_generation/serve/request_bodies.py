"""Reads bodies that are not JSON: photos in forms, and arrays. They stay in memory."""

import math
import sys
from io import BytesIO

import numpy as np
from fastapi import Request
from numpy.typing import NDArray
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from face_generation.serve.problems import Problem
from face_generation.serve.schemas import MAX_LATENT

FORM = "multipart/form-data"
NPY = ("application/x-npy", "application/octet-stream")  # the second is for clients that know no other type of bytes
FIELD_BYTES = 65_536  # largest size of a part that is not a file
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}  # of npy files


class _InMemory(MultiPartParser):
    spool_max_size = sys.maxsize  # larger parts would be written to a temporary file


async def read_form(request: Request, file: str, field: str) -> tuple[bytes, str | None]:
    """Reads the file and the optional field of a multipart body that has no other parts.

    Raises:
        Problem: The body is something else (415 or 422).
    """
    _expect(request, f"with the file {file}", FORM)
    parser = _InMemory(request.headers, request.stream(), max_files=1, max_fields=1, max_part_size=FIELD_BYTES)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Problem(422, f"the body is not a form with the file {file} ({error.message.rstrip('.')})") from error
    upload, text = form.get(file), form.get(field)
    if not isinstance(upload, UploadFile) or isinstance(text, UploadFile) or set(form) - {file, field}:
        raise Problem(422, f"send a form with the file {file} and at most the field {field}")
    return await upload.read(), text


async def read_latents(request: Request, latent_dim: int, most: int) -> NDArray[np.float32]:
    """Reads latents N×latent_dim from a body that is an npy file. Nothing is unpickled.

    Raises:
        Problem: The body is something else, or has more than `most` latents (415 or 422).
    """
    _expect(request, "as numpy.save writes it", *NPY)
    body = await request.body()
    stream = BytesIO(body)
    try:
        shape, fortran, dtype = HEADERS[np.lib.format.read_magic(stream)](stream)
    except Exception as error:  # the header is a Python literal, and a broken one raises errors of many classes
        raise Problem(422, "the body is not an npy file; write it with numpy.save") from error
    if dtype.kind != "f" or dtype.itemsize not in (4, 8) or len(shape) != 2 or shape[1] != latent_dim or not shape[0]:
        raise Problem(422, f"latents are float32 or float64 of shape (n, {latent_dim}), not {dtype} of shape {shape}")
    if shape[0] > most:
        raise Problem(422, f"a request has {most} faces at most, not {shape[0]}; send several")
    if len(body) != stream.tell() + math.prod(shape) * dtype.itemsize:
        raise Problem(422, "the npy file is not whole; send it again")
    values = np.frombuffer(body, dtype, offset=stream.tell()).reshape(shape, order="F" if fortran else "C")
    if not (np.abs(values) <= MAX_LATENT).all():  # false for NaN too
        raise Problem(422, f"latents are numbers from {-MAX_LATENT:g} to {MAX_LATENT:g}")
    return values.astype(np.float32)


def _expect(request: Request, what: str, *kinds: str) -> None:
    given = request.headers.get("content-type", "")
    if given.partition(";")[0].strip().lower() not in kinds:
        raise Problem(415, f"send {kinds[0]}, {what}, not {given or 'a body without a type'}")
