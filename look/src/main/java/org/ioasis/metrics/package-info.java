// SPDX-License-Identifier: Apache-2.0
/** What running machines have counted, in the text format of Prometheus. */
@NullMarked
package org.ioasis.metrics;

import org.jspecify.annotations.NullMarked;
