// SPDX-License-Identifier: Apache-2.0
/**
 * What the object models of the host side share and no embedder sees: values by number and by range
 * in arrays.
 */
@NullMarked
package org.ioasis.host;

import org.jspecify.annotations.NullMarked;
