// SPDX-License-Identifier: Apache-2.0
/** Devices that a jar of somebody else's brings. */
@NullMarked
package org.ioasis.kind.jar;

import org.jspecify.annotations.NullMarked;
