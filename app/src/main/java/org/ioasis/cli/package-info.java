// SPDX-License-Identifier: Apache-2.0
/** The commands of {@code ioasis}, one class each. */
@NullMarked
package org.ioasis.cli;

import org.jspecify.annotations.NullMarked;
