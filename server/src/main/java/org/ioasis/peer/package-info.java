// SPDX-License-Identifier: Apache-2.0
/**
 * What serves one peer after the other, whatever it speaks: the socket, a session and its messages;
 * and what a peer gives us for as long as that lasts: memory that it shares, and ways to notify it.
 */
@NullMarked
package org.ioasis.peer;

import org.jspecify.annotations.NullMarked;
