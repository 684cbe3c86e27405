// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

/**
 * What came of the end of a registration.
 *
 * @param wasLast no other with the same functions is left: the next in the queue is asked for ids
 *     from now on, or nobody but us
 * @param lost ids that were still out when the last one left: nobody finds them any more
 */
public record Unregistered(boolean wasLast, int lost) {}
