// SPDX-License-Identifier: Apache-2.0
/** Which system of the host side is shown by which test. */
@NullMarked
package org.ioasis.hostmodel;

import org.jspecify.annotations.NullMarked;
