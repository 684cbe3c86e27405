// SPDX-License-Identifier: Apache-2.0
/** Figures drawn as SVG, for a page and for a document. */
@NullMarked
package org.ioasis.plot;

import org.jspecify.annotations.NullMarked;
