// SPDX-License-Identifier: Apache-2.0
/** Addresses for mappings: which are free, and which is handed out next. Knows no device. */
@NullMarked
package org.ioasis.iova;

import org.jspecify.annotations.NullMarked;
