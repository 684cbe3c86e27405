// SPDX-License-Identifier: Apache-2.0
/**
 * Devices of other people's: what serves them speaks vfio-user, and has no memory of the guest's.
 */
@NullMarked
package org.ioasis.kind.proxy;

import org.jspecify.annotations.NullMarked;
