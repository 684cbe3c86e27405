// SPDX-License-Identifier: Apache-2.0
/**
 * Programs that were never told about us: the files of the host model appear to them where the
 * kernel would have them, and their system calls on these are answered here.
 */
@NullMarked
package org.ioasis.program;

import org.jspecify.annotations.NullMarked;
