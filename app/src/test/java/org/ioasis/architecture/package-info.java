// SPDX-License-Identifier: Apache-2.0
/**
 * What holds for the whole tree: the directions between packages, and documents that name what is
 * there.
 */
@NullMarked
package org.ioasis.architecture;

import org.jspecify.annotations.NullMarked;
