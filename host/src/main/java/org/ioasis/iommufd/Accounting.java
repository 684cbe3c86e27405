// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

/** Who is charged for pages that are held (RLIMIT_MEMLOCK). */
enum Accounting {
    /** Nobody: the process may lock what it likes. */
    NONE,
    /** The user whose process it is. */
    USER,
    /** The process. */
    PROCESS
}
