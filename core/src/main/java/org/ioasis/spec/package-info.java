// SPDX-License-Identifier: Apache-2.0
/**
 * Numbers and layouts of the specifications, one class per chapter, under the names the
 * specification gives them. Nothing here does anything.
 */
@NullMarked
package org.ioasis.spec;

import org.jspecify.annotations.NullMarked;
