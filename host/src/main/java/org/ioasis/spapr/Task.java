// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import org.ioasis.iommufd.Caller;
import org.ioasis.iommufd.FailureInjector;
import org.ioasis.iommufd.ProgramMemory;

/**
 * Who calls. For the length of one call, on its thread.
 *
 * @param memory its address space
 * @param mayLock CAP_IPC_LOCK: what it locks is counted, without a limit
 * @param failures its failure points
 */
public record Task(ProgramMemory memory, boolean mayLock, FailureInjector failures) {
    static Task of(Caller caller) {
        return new Task(caller.memory(), caller.mayLock(), caller.failures());
    }
}
