// SPDX-License-Identifier: Apache-2.0
/** For unit tests of devices: a guest's memory and its driver's hands, without a VMM. */
@NullMarked
package org.ioasis.testkit;

import org.jspecify.annotations.NullMarked;
