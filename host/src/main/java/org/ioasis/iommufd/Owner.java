// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

/**
 * Whose memory a mapping shows, and who is charged for it.
 *
 * @param memory addresses are this process's
 * @param mayLock nobody is charged
 */
public record Owner(ProgramMemory memory, boolean mayLock) {}
