#!/usr/bin/env bash
# Prints what lets a build use the OpenSSL 3 of this machine, as NAME=VALUE words; nothing if it has none with headers.
set -eu

if pkg-config --atleast-version=3.0 openssl 2>/dev/null; then
  echo "OPENSSL_NO_VENDOR=1"
  exit 0
fi
# Without pkg-config the compiler knows where its headers and libraries are.
compiler=${CC:-cc}
version='#include <openssl/opensslv.h>
#if OPENSSL_VERSION_MAJOR < 3
#error "too old"
#endif'
header=$($compiler -E - <<<"$version" 2>/dev/null | sed -n 's|^# [0-9]* "\(/.*\)/openssl/opensslv\.h".*|\1|p' | head -n 1) || true
library=$($compiler -print-file-name=libssl.so 2>/dev/null) || true
[[ -n $header && $library == /* ]] || exit 0
echo "OPENSSL_NO_VENDOR=1 OPENSSL_INCLUDE_DIR=$header OPENSSL_LIB_DIR=$(realpath "$(dirname "$library")")"
