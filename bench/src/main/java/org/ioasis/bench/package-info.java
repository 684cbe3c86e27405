// SPDX-License-Identifier: Apache-2.0
/** The standard workloads on Ioasis and on the algorithms of other VMMs, in one run. */
@NullMarked
package org.ioasis.bench;

import org.jspecify.annotations.NullMarked;
