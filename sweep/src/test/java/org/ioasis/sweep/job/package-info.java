// SPDX-License-Identifier: Apache-2.0
/** Tests of the job, which fetch and start Apache Spark: tools/tests/sweep.sh runs them. */
@NullMarked
package org.ioasis.sweep.job;

import org.jspecify.annotations.NullMarked;
