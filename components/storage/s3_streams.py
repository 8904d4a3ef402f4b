"""S3 objects as files: random reads, atomic writes."""

import io
import os
import tempfile
import time
from types import TracebackType
from typing import Any

from typing_extensions import override

from components.storage import s3_errors
from components.storage.s3_client import ATTEMPTS, client
from components.storage.s3_errors import Cut
from components.storage.s3_place import parse

PAUSE = 0.1  # seconds before the first new connection, twice that before the second


class Reader(io.RawIOBase):
    """Reads one object, with ``seek``. A broken connection is resumed at the same byte."""

    def __init__(self, path: str) -> None:
        self._path, self._place, self._at = path, parse(path), 0
        told = client(self._place.scheme).get_object(Bucket=self._place.bucket, Key=self._place.key)
        self._size, self._etag, self._body = told["ContentLength"], told["ETag"], told["Body"]

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes: Parquet begins at the end."""
        return True

    @override
    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See ``io.IOBase``; costs nothing until something is read."""
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if at != self._at:
            self._drop()
        self._at = max(0, at)
        return self._at

    def tell(self) -> int:
        """Bytes from the beginning."""
        return self._at

    @override
    def readinto(self, buffer: Any) -> int:
        from botocore.exceptions import BotoCoreError

        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        with s3_errors.explained(self._path):
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    content = self._stream().read(wanted)
                    if not content:
                        raise Cut(self._path, f"the connection ended after {self._at:,} of {self._size:,} bytes")
                    break
                except (BotoCoreError, Cut):  # while the answer was read: the client repeats the others
                    self._drop()
                    if attempt == ATTEMPTS:
                        raise
                    time.sleep(PAUSE * 2**attempt)
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)

    def close(self) -> None:
        """Ends the answer that is read."""
        if not self.closed:
            self._drop()
        super().close()

    def _stream(self) -> Any:
        if self._body is None:
            # If the object was replaced meanwhile, the result would mix both.
            self._body = client(self._place.scheme).get_object(
                Bucket=self._place.bucket, Key=self._place.key, Range=f"bytes={self._at}-", IfMatch=self._etag
            )["Body"]
        return self._body

    def _drop(self) -> None:
        if self._body is not None:
            self._body.close()
        self._body = None


class Writer(io.BufferedWriter):
    """A file of this machine that is uploaded when it is closed."""

    def __init__(self, path: str) -> None:
        self._place, self._path = parse(path), path
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (closed with this)
        super().__init__(self._file)

    def close(self) -> None:
        """Uploads."""
        if self.closed:
            return
        try:
            self.flush()
            self._file.seek(0)
            with s3_errors.explained(self._path), io.FileIO(os.dup(self._file.fileno())) as content:
                client(self._place.scheme).upload_fileobj(content, self._place.bucket, self._place.key)
        finally:
            self.drop()

    def drop(self) -> None:
        """Closes without an upload."""
        super().close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        (self.drop if kind else self.close)()


class Text(io.TextIOWrapper):
    """UTF-8 over either of the two."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind and isinstance(self.buffer, Writer):
            self.buffer.drop()
        else:
            self.close()
