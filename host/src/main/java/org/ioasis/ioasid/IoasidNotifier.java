// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

/**
 * Hears of ids of sets, on the thread that caused it, without a lock held: it may call the set. Two
 * threads' events may come in any order.
 */
@FunctionalInterface
public interface IoasidNotifier {
    /**
     * @param spid the number that the id has inside the set, or {@link IoasidAllocator#INVALID}
     */
    void notify(IoasidEvent event, QuotaSet<?> set, int id, int spid);
}
