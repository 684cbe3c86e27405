// SPDX-License-Identifier: Apache-2.0
/**
 * One run of a virtual machine: its command line, its process, its console, its disks, and the
 * folder that all of it lives in. Knows QEMU and the guest, but not our servers, which are handed
 * in as socket paths.
 */
@NullMarked
package org.ioasis.vm;

import org.jspecify.annotations.NullMarked;
