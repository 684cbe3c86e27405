// SPDX-License-Identifier: Apache-2.0
package org.ioasis.loop;

/**
 * What a loop has done since it was made, and how nice its thread is. Immutable.
 *
 * @param turns of it
 * @param waits calls that ask which descriptors are ready, those that return at once included
 * @param sleeps those of them that may block
 * @param events descriptors that were ready
 * @param tasks that were run
 * @param signals writes by which other threads have woken it, each read once
 * @param timers that were run
 * @param looks at all rings that are looked at
 * @param finds devices for which a look has found work
 * @param rests ends of looking
 * @param crowded how often looking was given up because others wanted the processor
 * @param niceness of its thread, less being served first, from -20 to 19
 */
public record LoopCounts(
        long turns,
        long waits,
        long sleeps,
        long events,
        long tasks,
        long signals,
        long timers,
        long looks,
        long finds,
        long rests,
        long crowded,
        int niceness) {}
