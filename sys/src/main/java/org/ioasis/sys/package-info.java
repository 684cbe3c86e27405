// SPDX-License-Identifier: Apache-2.0
/**
 * Every Linux call that Ioasis makes, by the Foreign Function and Memory API, and every segment
 * whose lifetime or bounds are not the JVM's own. Nothing above this package is restricted code.
 */
@NullMarked
package org.ioasis.sys;

import org.jspecify.annotations.NullMarked;
