package org.ioasis.run;

import java.time.Duration;
import java.util.Optional;
import org.ioasis.vm.Accel;

/**
 * What can be chosen for a run. Immutable.
 *
 * @param accel how the guest's instructions are run; empty to find out
 * @param memoryMiB the guest's memory
 * @param limit how long the guest may take
 * @param seed of the seeded disk's content
 */
public record RunOptions(Optional<Accel> accel, int memoryMiB, Duration limit, long seed) {}
