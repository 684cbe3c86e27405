// SPDX-License-Identifier: Apache-2.0
/**
 * What a peer gives us for as long as its session, whatever it speaks: memory that it shares, and
 * ways to notify it.
 */
@NullMarked
package org.ioasis.peer;

import org.jspecify.annotations.NullMarked;
