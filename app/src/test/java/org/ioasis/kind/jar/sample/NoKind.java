// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.jar.sample;

/** Not what a service file of a test says that it is. */
public final class NoKind {}
