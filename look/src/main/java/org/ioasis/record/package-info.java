// SPDX-License-Identifier: Apache-2.0
/** What machines do, kept for later: recording it, reading it, and putting it through an engine. */
@NullMarked
package org.ioasis.record;

import org.jspecify.annotations.NullMarked;
