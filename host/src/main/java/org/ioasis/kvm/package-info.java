// SPDX-License-Identifier: Apache-2.0
/**
 * What KVM has to know of VFIO: the pseudo device by which user space tells a virtual machine which
 * files of VFIO are its devices'. Knows an interface of these files and finds who has it when a
 * file is registered; a machine without VFIO needs none.
 */
@NullMarked
package org.ioasis.kvm;

import org.jspecify.annotations.NullMarked;
