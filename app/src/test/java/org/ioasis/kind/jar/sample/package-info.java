// SPDX-License-Identifier: Apache-2.0
/** What the jars of a test have in them. */
@NullMarked
package org.ioasis.kind.jar.sample;

import org.jspecify.annotations.NullMarked;
