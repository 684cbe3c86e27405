// SPDX-License-Identifier: Apache-2.0
/** Recordings as Parquet files. */
@NullMarked
package org.ioasis.parquet;

import org.jspecify.annotations.NullMarked;
