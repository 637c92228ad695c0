"""How an image is made of another one by adding packages. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_server.images import definition, recipe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox_server.images.definition import Definition

# Only what pip changed is carried over: copying the whole environment would double the image, and installing in
# the last stage would leave the CA bundle in a layer of it.
_DOCKERFILE = """\
ARG PARENT
FROM ${PARENT} AS build
USER 0:0
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
WORKDIR /build
COPY requirements.txt ca-bundle.pe[m] ./
RUN set -e; \\
    if [ -f ca-bundle.pem ]; then export PIP_CERT=/build/ca-bundle.pem SSL_CERT_FILE=/build/ca-bundle.pem; fi; \\
    cd /opt/cupel/env; find . | LC_ALL=C sort > /build/before; touch /build/marker; \\
    bin/python -m pip install --no-cache-dir --disable-pip-version-check --requirement /build/requirements.txt; \\
    bin/python -m pip freeze --all --exclude pip > /build/requirements.lock; \\
    find . | LC_ALL=C sort > /build/after; \\
    mkdir -p /build/changed/env; \\
    find . ! -type d -cnewer /build/marker -print0 | tar -cf /build/changed.tar --null -T -; \\
    tar -xf /build/changed.tar -C /build/changed/env; \\
    LC_ALL=C comm -23 /build/before /build/after > /build/changed/removed; \\
    mv /build/requirements.lock /build/changed/

FROM ${PARENT} AS agent
USER 0:0
COPY agent /build/agent
RUN /opt/cupel/env/bin/python -m compileall -q --invalidation-mode unchecked-hash /build/agent

FROM ${PARENT}
USER 0:0
COPY --from=build /build/changed/ /opt/cupel/
RUN cd /opt/cupel/env && xargs -r -d '\\n' rm -rf -- < ../removed && rm ../removed
COPY environment.toml /opt/cupel/environment.toml
COPY --from=agent /build/agent /opt/cupel/agent
USER 1000:1000
"""


def files(defined: Definition, requirements: Sequence[str]) -> Mapping[str, bytes]:
    """Returns the files of the context that makes the image.

    Args:
        defined: The definition of the new environment.
        requirements: What to add, by PEP 508.
    """
    return {
        recipe.DOCKERFILE: _DOCKERFILE.encode(),
        "requirements.txt": "".join(f"{line}\n" for line in requirements).encode(),
        definition.FILE_NAME: defined.as_toml().encode(),
    }
