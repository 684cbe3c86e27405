// SPDX-License-Identifier: Apache-2.0
/** A sweep as a job of Apache Spark: the only package that knows it, and how Parquet is read. */
@NullMarked
package org.ioasis.sweep.job;

import org.jspecify.annotations.NullMarked;
