// SPDX-License-Identifier: Apache-2.0
/** Tests of KVM's VFIO device, with files that stand for those of VFIO. */
@NullMarked
package org.ioasis.kvm;

import org.jspecify.annotations.NullMarked;
