// SPDX-License-Identifier: Apache-2.0
/**
 * Page tables and commands that Linux makes for QEMU's own IOMMUs, walked by us: the command {@code
 * ioasis compare tables}.
 */
@NullMarked
package org.ioasis.compare.tables;

import org.jspecify.annotations.NullMarked;
